import EventLoop
public import PKI
import TLS

/// One question to an OCSP responder outside of a running agent, for commands.
public enum ResponderLookup {
    /// Why there is no answer.
    public struct Failure: Error, Sendable {
        /// `unreachable`, or an `OCSPError.Code`.
        public let code: String
        /// What happened.
        public let text: String
    }

    /// Asks about a certificate at a URL `http://…` or `https://…`, with `timeout` seconds of patience.
    @ControlPlane
    public static func ask(
        _ subject: OCSPSubject, at url: String, timeout: Int
    ) async -> Result<OCSPAnswer, Failure> {
        guard let place = FetchURL(url) else {
            return .failure(Failure(code: "unreachable", text: "\(url.prefix(200)) is no URL that can be asked"))
        }
        return await withCheckedContinuation { continuation in
            // The query keeps itself alive; what it hands back is for those who want to cancel it.
            _ = ResponderQuery.start(
                subject, at: place, under: .intermediate, timeout: UInt64(max(1, timeout)) * Clock.second,
                parts: ChannelLoop(ControlPlane.loop)
            ) { result in
                continuation.resume(returning: result.mapError { Failure(code: $0.code, text: $0.text) })
            }
        }
    }
}
