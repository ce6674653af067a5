//! Every script that the fuzzer has kept for the stack.

#[path = "../../../fuzz/src/arrival/mod.rs"]
mod arrival;
#[path = "../../../fuzz/src/stack.rs"]
mod stack;
#[path = "../../../fuzz/src/target.rs"]
mod target;

#[test]
fn every_kept_script_comes_to_rest() {
    target::replay(stack::TARGETS);
    target::replay(arrival::TARGETS);
}
