import Glibc

// The operator's command. Everything is synchronous: start, do one thing, exit.
exit(MeshProgram.run(Array(CommandLine.arguments.dropFirst())).rawValue)
