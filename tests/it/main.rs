//! System tests on the real binary.
