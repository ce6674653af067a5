//! Every input that the fuzzer has kept for what programs ask.

#[path = "../../../fuzz/src/target.rs"]
mod target;
#[path = "../../../fuzz/src/view.rs"]
mod view;

#[test]
fn every_kept_question_is_answered() {
    target::replay(view::TARGETS);
}
