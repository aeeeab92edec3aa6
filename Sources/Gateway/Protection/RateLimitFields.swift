public import HTTP

extension RateDecision {
    /// Adds RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers): quota `q`, window `w`, what remains `r`
    /// and the seconds `t` until more is there. Several limits make several fields, which are one list.
    public func write(_ policy: RatePolicy, into headers: inout HTTPHeaders) {
        let name = Text.quoted(policy.name)
        headers.append("RateLimit-Policy", "\(name);q=\(policy.burst);w=\(policy.windowSeconds)")
        headers.append("RateLimit", "\(name);r=\(remaining);t=\(Self.seconds(isAllowed ? reset : retryAfter))")
    }
}
