//! Every script that the fuzzer has kept for the stack: `fuzz/run` finds new ones.

mod wire {
    /// A name, which is also that of its corpus, and what is done with an input.
    pub(crate) type Target = (&'static str, fn(&[u8]));
}

#[path = "../../../fuzz/src/arrival/mod.rs"]
mod arrival;
#[path = "../../../fuzz/src/stack.rs"]
mod stack;

use std::path::Path;

#[test]
fn every_kept_script_comes_to_rest() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in stack::TARGETS.iter().chain(arrival::TARGETS) {
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
