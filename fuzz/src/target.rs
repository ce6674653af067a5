//! What a target is, and how the inputs that were kept for one are played again: by the tests of the crates, which take this
//! file in by its path.

/// A name, which is also that of its corpus, and what is done with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Plays every kept input of these targets. `fuzz/run` finds new ones.
///
/// # Panics
/// If a promise is broken, after the input's path was printed; or if nothing was kept for a target.
#[cfg(test)]
pub(crate) fn replay(targets: &[Target]) {
    let corpora = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in targets {
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
