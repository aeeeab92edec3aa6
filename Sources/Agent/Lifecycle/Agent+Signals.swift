import EventLoop
import Glibc

extension Agent {
    /// SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads; SIGUSR2 starts the program that takes over.
    final class Signals: SignalHandler {
        private let agent: Agent

        init(_ agent: Agent) { self.agent = agent }

        func signalReceived(_ signal: Int32, loop: EventLoop) {
            ControlPlane.assumeIsolated { [agent] in
                switch signal {
                case SIGHUP:
                    Systemd.notify("RELOADING=1")
                    _ = agent.reload(by: "SIGHUP")
                    Systemd.notify("READY=1")
                case SIGUSR2: agent.upgrade()
                default: agent.drain(signal == SIGINT ? "SIGINT" : "SIGTERM")
                }
            }
        }
    }
}
