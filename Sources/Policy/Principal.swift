/// An identity after mapping: who asks, with the service identities, groups and permissions that the policy gives.
///
/// A principal belongs to the document that made it. Another document takes it as well: it maps the same facts anew
/// (slower), so that nobody ever acts with the rights of yesterday's policy.
public struct Principal: Sendable, CustomStringConvertible {
    /// What a principal shares between its copies.
    final class Storage: Sendable {
        let document: PolicyDocument
        let subject: Subject
        let id: PrincipalID
        let problem: PolicyReason?
        let services: Set<String>
        let groups: Set<String>
        let permissions: Set<String>
        let derivation: [Derivation]
        let roles: [RoleHolding]
        /// For a service identity that a node or user holds: the holder's facts.
        let holder: Subject?
        /// For a node or user: its service identities as principals.
        let identities: [String: Principal]

        init(
            document: PolicyDocument, subject: Subject, id: PrincipalID, problem: PolicyReason? = nil,
            services: Set<String> = [], groups: Set<String> = [], permissions: Set<String> = [],
            derivation: [Derivation], roles: [RoleHolding] = [], holder: Subject? = nil,
            identities: [String: Principal] = [:]
        ) {
            self.document = document
            self.subject = subject
            self.id = id
            self.problem = problem
            self.services = services
            self.groups = groups
            self.permissions = permissions
            self.derivation = derivation
            self.roles = roles
            self.holder = holder
            self.identities = identities
        }
    }

    let storage: Storage

    /// The name that rules know it by; `anonymous` when the identity could not be mapped.
    public var id: PrincipalID { storage.id }

    /// The verified facts that it was made of.
    public var subject: Subject { storage.subject }

    /// Why the policy does not know it: every question about such a principal is denied with this reason. Nil for a
    /// principal that the policy knows.
    public var problem: PolicyReason? { storage.problem }

    /// Whether the policy knows who it is.
    public var isIdentified: Bool { storage.problem == nil }

    /// The service identities that its mapping gives it, by name.
    public var services: Set<String> { storage.services }

    /// The groups that it is in, by mapping or by being listed.
    public var groups: Set<String> { storage.groups }

    /// The permissions that its mapping gives it.
    public var permissions: Set<String> { storage.permissions }

    /// How it was derived, step by step.
    public var derivation: [Derivation] { storage.derivation }

    /// Its name as a node; nil for other principals and for a node that could not be mapped.
    public var nodeName: String? { id.namespace == .node ? id.name : nil }

    /// `node:db-1`
    public var description: String { id.description }
}

extension Principal: Hashable {
    /// Whether both are the same identity under the same policy.
    public static func == (left: Principal, right: Principal) -> Bool {
        left.storage === right.storage
            || left.storage.document === right.storage.document && left.subject == right.subject
                && left.storage.holder == right.storage.holder
    }

    /// Hashes the verified facts.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(subject)
    }
}

/// One step of how a principal was derived.
public struct Derivation: Sendable, Hashable, CustomStringConvertible {
    /// What the step says: `maps it to service:web, group:frontends`.
    public let text: String
    /// The mapping or group behind it; nil for what needs none.
    public let reference: RuleReference?

    /// A step from its parts.
    public init(_ text: String, _ reference: RuleReference? = nil) {
        self.text = text
        self.reference = reference
    }

    /// `policy.json:4  map cn ACL to service:acl`
    public var description: String { reference.map { "\($0.place)  \(text)" } ?? text }
}

/// A role that a principal holds; roles are what the rule index is keyed by.
struct RoleHolding: Sendable, Hashable {
    let role: Int32
    /// Whether it is held by name alone; only such count for `administer`.
    let byName: Bool
}
