//! Tests of the whole store on real files.
