//! The file of `--capture`: that it cannot be written any more is told at once, not when the run has ended.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::complaints::say;

/// A file that tells its user of the first failure after its first octets; who writes those hears of it.
#[derive(Debug)]
pub(crate) struct CaptureFile {
    file: File,
    path: PathBuf,
    begun: bool,
    complained: bool,
}

impl CaptureFile {
    /// Creates (or empties) the file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            path: path.to_owned(),
            begun: false,
            complained: false,
        })
    }
}

impl Write for CaptureFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.file.write(octets);
        match &written {
            Ok(_) => self.begun = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) if self.begun && !self.complained => {
                self.complained = true;
                say(format_args!("{}: the capture ends here: {error}", self.path.display()));
            }
            Err(_) => (),
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
