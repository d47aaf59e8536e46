use std::ops::Deref;

/// A value alone on its cache lines: two, because common processors fetch them in pairs. Without it, workers
/// that write one value would slow down the readers of its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
