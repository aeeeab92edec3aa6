internal import Glibc

/// A host name for which no address was found.
public struct ResolveError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Why there is no address.
    public enum Code: String, Sendable {
        /// The name does not exist, or has no address.
        case notFound = "name_not_found"
        /// The name servers do not answer now; asking again later may help.
        case temporary = "name_server_silent"
        /// The name servers refused to answer or answered with a failure.
        case failed = "name_server_failed"
        /// The caller's time was up.
        case timedOut = "resolve_timed_out"
        /// Too many questions wait already, or no thread could be started.
        case overloaded = "resolver_overloaded"
    }

    /// What was to be resolved.
    public let endpoint: Endpoint
    /// Why there is no address.
    public let code: Code
    /// The C library's words on it; empty where it was not asked or did not answer in time.
    public let detail: String

    init(_ endpoint: Endpoint, _ code: Code, detail: String = "") {
        self.endpoint = endpoint
        self.code = code
        self.detail = detail
    }

    /// Sorts what getaddrinfo returned.
    init(_ endpoint: Endpoint, status: Int32, errno: Int32) {
        let code: Code =
            switch status {
            case EAI_NONAME, EAI_NODATA, EAI_ADDRFAMILY: .notFound
            case EAI_AGAIN: .temporary
            default: .failed
            }
        let detail = status == EAI_SYSTEM ? SystemError.text(errno) : String(cString: gai_strerror(status))
        self.init(endpoint, code, detail: detail)
    }

    /// "cannot resolve db.internal: Name or service not known; check the spelling, /etc/hosts and the DNS".
    public var description: String {
        let detail = detail.isEmpty ? "" : ": \(detail)"
        return "cannot resolve \(endpoint.host)\(detail); \(hint)"
    }

    /// What to do about it.
    public var hint: String {
        switch code {
        case .notFound: "check the spelling, /etc/hosts and the DNS"
        case .temporary, .failed: "check the name servers in /etc/resolv.conf"
        case .timedOut: "no answer in time; check the name servers in /etc/resolv.conf"
        case .overloaded: "too many names are being resolved; use addresses, or a name server that answers faster"
        }
    }
}

/// glibc's extensions, whose macros the importer does not have without _GNU_SOURCE.
private let EAI_NODATA: Int32 = -5
private let EAI_ADDRFAMILY: Int32 = -9
