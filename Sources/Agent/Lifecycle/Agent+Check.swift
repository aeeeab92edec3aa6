import Enrolment
import EventLoop
import PKI
import Policy
import TLS

/// What can be said about a configuration, or a start that failed, without an agent that runs.
extension Agent {
    /// What an error says, a line each.
    public nonisolated static func lines(of error: any Error) -> [String] {
        switch error {
        case let error as ConfigurationError: error.issues.map(\.description)
        case let error as CertificateError: [error.description, "hint: \(error.hint)"]
        case let error as EnrolmentError: [error.description, "hint: \(error.hint)"]
        case let error as SystemError: [error.description] + (error.hint.map { ["hint: \($0)"] } ?? [])
        case let error as StartFailure: error.lines + (error.hint.map { ["hint: \($0)"] } ?? [])
        default: ["\(error)"]
        }
    }

    /// What an error says with which a start under a configuration failed, and which other files it would not have found, a
    /// line each.
    public nonisolated static func lines(of error: any Error, under effective: EffectiveConfiguration) -> [String] {
        if let failure = error as? StartFailure, failure.isCheck { return lines(of: error) }
        let missing = MissingFiles(effective.configuration)
        return missing.lines(of: error) + missing.lines
    }

    /// The exit code for a start that failed; 0 for one that was told to stop.
    public nonisolated static func exitCode(of error: any Error) -> Int32 {
        switch error {
        case let error as StartFailure: error.exitCode
        case is ToldToStop: 0
        case is ConfigurationError, is PolicyError: 78
        case let error as EnrolmentError: error.isAboutReach ? 5 : 6
        case is CertificateError: 6
        default: 1
        }
    }

    /// Reads everything that a start would read, and starts nothing.
    /// - Parameter includingCA: the CA's key too, whose passphrase can be read once only where it comes from a variable.
    /// - Returns: what is wrong, a line each.
    public nonisolated static func check(
        _ effective: EffectiveConfiguration, includingCA: Bool = true
    ) -> [String] {
        // Whoever reads a file that is missing stops there, and so would the reader of the next one.
        let missing = MissingFiles(effective.configuration, includingCA: includingCA)
        var problems = missing.lines
        do { try TLSGround.prepare(effective.configuration) } catch { problems += lines(of: error) }
        if FirstIdentity.isAwaited(effective.configuration) {
            // One that the next start will get cannot be looked at yet; what it will be got with can.
            problems += FirstIdentity.problems(effective.configuration, beside: missing)
        } else {
            do {
                let identity = try NodeIdentity.load(effective.configuration)
                problems += DocumentHost.problems(identity, effective.configuration, beside: missing)
            } catch {
                problems += missing.lines(of: error)
            }
        }
        do { _ = try PolicyLoading.load(effective.configuration) } catch { problems += missing.lines(of: error) }
        for service in effective.configuration.services {
            do { _ = try ServiceTarget(service) } catch { problems += missing.lines(of: error) }
        }
        if includingCA { problems += CAService.check(effective.configuration.ca, beside: missing) }
        problems += EdgeCertificates.check(effective.configuration.edge, now: Clock.unixSeconds(), beside: missing)
        return problems
    }

    /// Where this host takes AES-GCM from under a configuration: a code for programs, words for people.
    public nonisolated static func aesGCM(of configuration: Configuration) -> (code: String, text: String) {
        guard configuration.tls.acceleration == .auto else {
            return ("off", "AES-GCM by OpenSSL (tls.acceleration is off)")
        }
        let acceleration = TLSAcceleration.load()
        return (acceleration.code, acceleration.description)
    }
}
