public import Policy

/// Asks the policy which names of a registration a node may register.
public enum RegistrationAuthority {
    /// The decision for each service of a registration, in its order.
    public static func authorize(
        _ policy: PolicyDocument, _ node: Principal, _ registration: Registration
    ) -> [(service: String, decision: Decision)] {
        registration.services.map { ($0.service, policy.authorizeRegister(node: node, service: $0.service)) }
    }
}
