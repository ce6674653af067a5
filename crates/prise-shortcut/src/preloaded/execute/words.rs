//! execl(3), execle(3) and execlp(3): the words of what is executed stand in the call itself.

use core::arch::naked_asm;

use super::environment::own;
use super::{Words, execute, execute_by_name};
use crate::behind::Behind;
use crate::kernel::told;

/// Leaves a call to who has the function behind ours, with all that it was told. Else puts the words that came in registers before those on the stack, where the
/// caller has them, and calls a function with the first parameter and the list of words.
macro_rules! with_words {
    ($behind:ident, $function:ident) => {
        naked_asm!(
            ".cfi_startproc",
            "push rdi",
            "push rsi",
            "push rdx",
            "push rcx",
            "push r8",
            "push r9",
            "sub rsp, 8",
            ".cfi_adjust_cfa_offset 56",
            "call {behind}",
            "add rsp, 8",
            "pop r9",
            "pop r8",
            "pop rcx",
            "pop rdx",
            "pop rsi",
            "pop rdi",
            ".cfi_adjust_cfa_offset -56",
            "mov r11, rax",
            // None of the words is a vector.
            "xor eax, eax",
            "test r11, r11",
            "jz 2f",
            "jmp r11",
            "2:",
            "pop rax",
            ".cfi_adjust_cfa_offset -8",
            ".cfi_register rip, rax",
            "push r9",
            "push r8",
            "push rcx",
            "push rdx",
            "push rsi",
            "mov rsi, rsp",
            "push rax",
            ".cfi_adjust_cfa_offset 48",
            ".cfi_offset rip, -48",
            "call {function}",
            "pop rcx",
            "add rsp, 40",
            ".cfi_adjust_cfa_offset -48",
            ".cfi_register rip, rcx",
            "push rcx",
            ".cfi_adjust_cfa_offset 8",
            ".cfi_offset rip, -8",
            "ret",
            ".cfi_endproc",
            behind = sym $behind,
            function = sym $function,
        )
    };
}

/// execl(3).
///
/// # Safety
///
/// As execl(3).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execl(_path: *const u8, _first: *const u8) -> i32 {
    with_words!(behind_execl, execute_words)
}

/// execle(3).
///
/// # Safety
///
/// As execle(3).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execle(_path: *const u8, _first: *const u8) -> i32 {
    with_words!(behind_execle, execute_words_and_variables)
}

/// execlp(3).
///
/// # Safety
///
/// As execlp(3).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execlp(_file: *const u8, _first: *const u8) -> i32 {
    with_words!(behind_execlp, execute_words_by_name)
}

/// Who has a function of ours behind it; 0 if nobody has.
macro_rules! behind {
    ($function:ident, $name:literal) => {
        extern "C" fn $function() -> usize {
            static BEHIND: Behind = Behind::of($name);
            BEHIND.function().unwrap_or(0)
        }
    };
}

behind!(behind_execl, c"execl");
behind!(behind_execle, c"execle");
behind!(behind_execlp, c"execlp");

/// What execl(3) does.
///
/// # Safety
///
/// The words are the caller's, as execl(3) takes them.
unsafe extern "C-unwind" fn execute_words(path: *const u8, words: Words) -> i32 {
    // SAFETY: as promised.
    told(unsafe { execute(path, words, own()) })
}

/// What execlp(3) does.
///
/// # Safety
///
/// The same.
unsafe extern "C-unwind" fn execute_words_by_name(file: *const u8, words: Words) -> i32 {
    // SAFETY: as promised.
    unsafe { execute_by_name(file, words, own()) }
}

/// What execle(3) does: the environment stands behind the last word.
///
/// # Safety
///
/// The same.
unsafe extern "C-unwind" fn execute_words_and_variables(path: *const u8, words: Words) -> i32 {
    // SAFETY: as promised.
    unsafe {
        let mut end = words;
        while !(*end).is_null() {
            end = end.add(1);
        }
        told(execute(path, words, end.add(1).read().cast()))
    }
}
