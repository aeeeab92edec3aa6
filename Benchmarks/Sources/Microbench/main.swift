// In a file of its own so that the rest can be read without top-level code.
Program.run(Array(CommandLine.arguments.dropFirst()))
