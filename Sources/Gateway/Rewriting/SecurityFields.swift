import HTTP

/// HSTS and security fields for answers over TLS. What the service has set itself stays.
public struct SecurityFields: Sendable, Hashable {
    /// Strict-Transport-Security (RFC 6797).
    public struct HSTS: Sendable, Hashable {
        /// Seconds for which browsers use TLS only; 0 ends that.
        public var maxAge: Int
        /// Whether it holds for all names below the host.
        public var includeSubDomains: Bool
        /// Whether the host may be put into browsers' lists.
        public var preload: Bool

        /// A policy.
        public init(maxAge: Int, includeSubDomains: Bool = false, preload: Bool = false) {
            self.maxAge = max(0, maxAge)
            self.includeSubDomains = includeSubDomains
            self.preload = preload
        }

        /// The value of the field.
        public var field: String {
            "max-age=\(maxAge)" + (includeSubDomains ? "; includeSubDomains" : "") + (preload ? "; preload" : "")
        }
    }

    /// The HSTS policy; nil: none is sent.
    public var hsts: HSTS?
    /// Further fields with their values.
    public var fields: [Field]

    /// A field that is added where the service has none of that name.
    public struct Field: Sendable, Hashable {
        /// Its name.
        public let name: String
        /// Its value.
        public let value: String

        /// A field.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Browsers take the Content-Type at its word, tell other sites only the origin, and show the answer in frames of its
    /// own site only.
    public static let usual = [
        Field("X-Content-Type-Options", "nosniff"), Field("Referrer-Policy", "strict-origin-when-cross-origin"),
        Field("X-Frame-Options", "SAMEORIGIN"),
    ]

    /// Fields; by default the usual ones and no HSTS, which is hard to take back.
    public init(hsts: HSTS? = nil, fields: [Field] = Self.usual) {
        self.hsts = hsts
        self.fields = fields
    }

    /// Adds what is missing. Where the service has a Content-Security-Policy, it has thought about frames itself and gets
    /// no X-Frame-Options.
    func write(into headers: inout HTTPHeaders) {
        if let hsts, !headers.contains("Strict-Transport-Security") {
            headers.append("Strict-Transport-Security", hsts.field)
        }
        for field in fields where !headers.contains(field.name) {
            if Text.equalIgnoringCase(field.name, "X-Frame-Options"), headers.contains("Content-Security-Policy") {
                continue
            }
            headers.append(field.name, field.value)
        }
    }
}
