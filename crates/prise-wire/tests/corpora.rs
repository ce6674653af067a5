//! Every input that the fuzzer has kept, through the target that it was kept for: `fuzz/run` finds new ones.

#[path = "../../../fuzz/src/wire.rs"]
mod wire;

use std::path::Path;

#[test]
fn every_kept_input_is_handled() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in wire::TARGETS {
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
