import Glibc

// Answers with a broken pipe on standard output, not with a signal, so that `mtls-tester … | head` ends quietly.
signal(SIGPIPE, SIG_IGN)
exit(TesterCommand.run(Array(CommandLine.arguments.dropFirst())))
