import EventLoop
import PKI
import TLS

/// Runs the stages in their order.
struct Tester {
    let options: TesterOptions
    let identity: OwnIdentity
    let report: Report

    init(options: TesterOptions, identity: OwnIdentity, console: Console) {
        self.options = options
        self.identity = identity
        report = Report(target: options.target.text, console: console)
    }

    /// Gives the exit code.
    func run() -> Int32 {
        defer { report.finish() }
        guard let dialler = reach() else {
            report.skipRest("the node cannot be reached")
            return TesterCommand.unreachable
        }
        guard speaksTLS(dialler) else {
            report.skipRest("the port does not speak TLS")
            return TesterCommand.failure
        }
        VersionStage(dialler: dialler, report: report, credentials: identity.credentials).run()
        let server = ServerStage(dialler: dialler, report: report, identity: identity).run()
        guard server?.isCAService != true else {
            report.skipRest("the port is the CA's")
            return TesterCommand.failure
        }
        let certificates = BadCertificates(identity, server: server, now: Clock.unixSeconds())
        RefusalStage(
            dialler: dialler, report: report, identity: identity, certificates: certificates,
            allowsLegacy: options.allowsLegacyCertificates, server: server
        ).run()
        if let socket = AcceptanceStage(dialler: dialler, report: report, identity: identity).run() {
            LinkStage(
                socket: socket, report: report, identity: identity, server: server, expectation: options.expectation,
                timeout: options.timeout
            ).run()
        } else {
            let why =
                identity.credentials == nil ? "no certificate of our own was given" : "the WebSocket was not opened"
            let hint = identity.credentials == nil ? "give --cert and --key, or --pfx" : nil
            report.skip([.hello, .roundTrip, .whoami, .directory], why, hint: hint)
        }
        TimingStage(dialler: dialler, report: report, identity: identity).run()
        return report.failed.isEmpty ? TesterCommand.success : TesterCommand.failure
    }

    /// TCP.
    private func reach() -> Dialler? {
        var found: Dialler?
        report.run(.tcp) {
            do throws(Dialler.Unreachable) {
                var last: Dialler.Unreachable?
                for address in try NameLookup.addresses(of: options.target.endpoint, timeout: options.timeout) {
                    do throws(Dialler.Unreachable) {
                        _ = try Dialler.connect(address, deadline: Clock.monotonicNanoseconds() + options.timeout)
                        found = Dialler(target: options.target, address: address, timeout: options.timeout)
                        return .ok("\(address)")
                    } catch {
                        last = error
                    }
                }
                return .failed(last?.text ?? "no address", hint: last?.hint)
            } catch {
                return .failed(error.text, hint: error.hint)
            }
        }
        return found
    }

    /// Any answer in TLS will do, a refusal included.
    private func speaksTLS(_ dialler: Dialler) -> Bool {
        report.run(.speaksTLS) {
            do {
                let wire = try dialler.dial(try Dialler.context())
                defer { wire.close() }
                switch wire.handshake() {
                case .complete: break
                case .timedOut:
                    return .failed(
                        "the port takes connections but says nothing",
                        hint: "another service may listen there, or the node is overloaded; try a longer --timeout")
                case .failed(let error) where wire.firstRecord == nil:
                    return .failed(error.message, hint: error.hint)
                case .failed: break
                }
                return .ok("")
            } catch let error as Dialler.Unreachable {
                return .failed(error.text, hint: error.hint)
            } catch let error as TLSError {
                return .failed(error.message, hint: error.hint)
            } catch {
                return .failed("\(error)")
            }
        } == .ok
    }
}
