import Link
import Policy

/// As whom a stream is opened. The principal itself is made from the policy in force at each check.
enum ActingAs: Sendable, Hashable, CustomStringConvertible {
    /// The node itself.
    case node
    /// A service identity that the node holds or may act as.
    case service(String)
    /// A local user; opens as the service identity named, where one is.
    case user(LocalUser, service: String?)
    /// A client from outside of the mesh, by its verified token (`jwt:…`) or API key (`key:…`), with what that tells
    /// about it (all of it, so that a later policy can ask for more); only the edge makes these.
    case external(PrincipalID, attributes: Subject.Attributes)

    /// Whom OPEN names; `nil` for the node itself.
    var principalID: PrincipalID? {
        switch self {
        case .node: nil
        case .service(let name): .service(name)
        case .user(let user, let service): service.flatMap { .service($0) } ?? .uid(user.uid)
        case .external(let id, _): id
        }
    }

    /// What is told about whom OPEN names.
    var attributes: Subject.Attributes {
        if case .external(_, let attributes) = self { attributes } else { [:] }
    }

    /// Whether whoever wants the stream has proven who he is. A service's identity is that of an upstream, which anybody uses who
    /// reaches it; and a node itself speaks for clients of its edge that nobody asked.
    var isProven: Bool {
        switch self {
        case .node, .service: false
        case .user, .external: true
        }
    }

    /// The same as OPEN writes it.
    var wireName: String? { principalID?.description }

    /// For logs.
    var description: String {
        switch self {
        case .node: "the node itself"
        case .service(let name): "service:\(name)"
        case .user(let user, let service): service.map { "\(user) as service:\($0)" } ?? user.description
        case .external(let id, _): id.description
        }
    }
}

extension OpenRequest {
    /// The request for a stream in `acting`'s name.
    ///
    /// All attributes go along where they fit. Where they do not, those go that the policy's mappings ask for.
    /// - Throws: ``OpenFailure`` where OPEN can't say it: a principal of more than 255 bytes, or attributes that are too
    ///   long even so.
    init(
        service: String, instance: String, acting: ActingAs, policy: PolicyDocument
    ) throws(OpenFailure) {
        let name = acting.wireName ?? ""
        guard name.utf8.count <= 255 else {
            throw OpenFailure(
                kind: .denied, reason: "principal_too_long",
                detail:
                    "the name of \(name.prefix(60))… has \(name.utf8.count) bytes; at most 255 can be sent to other "
                    + "nodes")
        }
        let told = acting.attributes
        guard let content = OpenAttributes.encoded(told) ?? OpenAttributes.encoded(policy.attributesAskedFor(told))
        else {
            throw OpenFailure(
                kind: .denied, reason: "attributes_too_long",
                detail: "what the token or key of \(name) tells is too long to be sent to other nodes "
                    + "(\(FrameExtension.maximumSize) bytes), even without what no mapping asks for")
        }
        self.init(
            service: service, instance: instance, principal: name,
            extensions: content.isEmpty
                ? [] : [FrameExtension(type: OpenAttributes.extensionType, value: content)])
    }
}
