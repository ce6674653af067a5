//! Every input that the fuzzer has kept for what programs ask: `fuzz/run` finds new ones.

mod wire {
    /// A name, which is also that of its corpus, and what is done with an input.
    pub(crate) type Target = (&'static str, fn(&[u8]));
}

#[path = "../../../fuzz/src/view.rs"]
mod view;

use std::path::Path;

#[test]
fn every_kept_question_is_answered() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in view::TARGETS {
        let corpus = corpora.join(name);
        let files = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
        let mut inputs = 0;
        for file in files {
            let path = file.expect("readable").path();
            println!("{}", path.display());
            target(&std::fs::read(&path).expect("readable"));
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", corpus.display());
    }
}
