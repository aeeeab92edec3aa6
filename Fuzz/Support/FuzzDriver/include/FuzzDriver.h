// The main function of every fuzz target: hands LLVMFuzzerTestOneInput to libFuzzer.
#pragma once

int mesh_fuzz_main(int argc, char **argv);
