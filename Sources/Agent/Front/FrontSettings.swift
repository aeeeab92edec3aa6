import JSON

/// The settings of a front that flags, variables and INI files have in common, as they were written, each with its
/// origin. Later sources win over earlier ones.
struct FrontSettings {
    /// One setting.
    enum Name: String, CaseIterable, Sendable {
        /// Address to listen on, with port.
        case listen
        /// Its host alone.
        case host
        /// Its port alone.
        case port
        /// The server's URL.
        case to
        /// What clients speak.
        case transport
        /// Whether the listener speaks TLS.
        case tlsEnabled
        /// Certificate: the listener's, on the client side the one that is shown to the server.
        case certificateFile
        /// Its key.
        case privateKeyFile
        /// CA: for clients, on the client side for the server.
        case caFile
        /// Whether clients must show a certificate.
        case verifyClient
        /// The lowest version of TLS.
        case minimumVersion
    }

    /// A value as it was written.
    struct Value {
        let text: String
        let source: ConfigurationSource
        let position: JSONPosition
        /// Which source it is from; a higher one wins.
        let rank: Rank

        var origin: ConfigurationOrigin { source.origin(position) }
    }

    /// The order of the sources.
    enum Rank: Int, Comparable, Sendable {
        case file
        case environment
        case flag

        static func < (left: Rank, right: Rank) -> Bool { left.rawValue < right.rawValue }
    }

    private var values: [Name: Value] = [:]

    subscript(_ name: Name) -> Value? { values[name] }

    /// Takes a value over; it replaces one from an earlier source.
    mutating func set(_ name: Name, _ value: Value) { values[name] = value }

    /// Forgets a setting that another one has overruled.
    mutating func drop(_ name: Name) { values[name] = nil }
}

/// How booleans are written in variables: as the seven servers read theirs.
enum BooleanText {
    /// The value; nil for anything else.
    static func parse(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "true", "1", "yes", "on": true
        case "false", "0", "no", "off": false
        default: nil
        }
    }
}
