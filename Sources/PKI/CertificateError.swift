/// What went wrong with a key, certificate or chain, and how to mend it.
///
/// `reason` is for programs; `message` is one line for people saying what happened; `hint` is one line saying what to
/// do next, with a command where there is one.
public struct CertificateError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable reason.
    public var reason: CertificateReason
    /// What happened, in one line, without a trailing full stop.
    public var message: String
    /// What to do next, in one line.
    public var hint: String
    /// The file that the trouble is in, where there is one.
    public var file: String?
    /// For `expired` and `notYetValid`: by how many seconds the clock would have to be set for the certificate to be valid;
    /// negative where it has expired.
    public var clockGap: Int64?
    /// For `unreadableFile`: there is nothing at that path.
    public var isMissingFile: Bool

    /// Makes an error.
    public init(
        _ reason: CertificateReason, _ message: String, hint: String, file: String? = nil, clockGap: Int64? = nil,
        isMissingFile: Bool = false
    ) {
        self.reason = reason
        self.message = message
        self.hint = hint
        self.file = file
        self.clockGap = clockGap
        self.isMissingFile = isMissingFile
    }

    /// The stable reason code, as in logs and JSON.
    public var code: String { reason.rawValue }

    /// "FILE: message (reason)".
    public var description: String {
        let place = file.map { "\($0): " } ?? ""
        return "\(place)\(message) (\(reason.rawValue))"
    }

    /// The same error with the file it came from, unless it has one already.
    public func inFile(_ file: String?) -> CertificateError {
        var copy = self
        copy.file = copy.file ?? file
        return copy
    }
}
