import Agent
import EventLoop
import Glibc

// The daemon. Signals are blocked before any thread starts, so that only the control loop receives them. The main
// thread waits in pause(2): an asynchronous main would hand it to libdispatch, which unblocks every signal there.
SignalSource.blockInAllThreads([SIGTERM, SIGINT, SIGHUP, SIGUSR2])
SignalSource.ignoreBrokenPipes()
Task.detached { exit(await AgentProgram.run(Array(CommandLine.arguments.dropFirst()))) }
while true { pause() }
