//! Every input that the fuzzer has kept, through the target that it was kept for.

#[path = "../../../fuzz/src/target.rs"]
mod target;
#[path = "../../../fuzz/src/wire.rs"]
mod wire;

#[test]
fn every_kept_input_is_handled() {
    target::replay(wire::TARGETS);
}
