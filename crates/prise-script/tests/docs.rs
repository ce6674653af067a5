//! The generated pages are those that are committed.

use prise_script::docs;

#[test]
fn the_generated_pages_are_up_to_date() {
    let pages = docs::pages().unwrap_or_else(|wrong| panic!("{wrong}"));
    for page in pages {
        let committed = std::fs::read_to_string(docs::repository().join(page.path)).unwrap_or_default();
        assert!(
            committed == page.text,
            "{} is out of date: run `cargo run -p prise-script -- docs`",
            page.path
        );
    }
}
