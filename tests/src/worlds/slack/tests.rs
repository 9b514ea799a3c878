//! The world's own tests: few. Most of its proof are programs that we did not write.
