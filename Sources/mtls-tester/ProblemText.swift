import JSON

/// What the body of a refusal says (RFC 9457).
enum ProblemText {
    /// The stable reason, with the detail where there is one: "denied: no rule allows it".
    static func reason(_ body: [UInt8]) -> String? {
        guard let value = try? JSONReader.parse(body), let reason = value["reason"]?.string else { return nil }
        return value["detail"]?.string.map { "\(reason): \($0)" } ?? reason
    }
}
