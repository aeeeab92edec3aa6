/// One difference between two configurations.
public struct ConfigurationChange: Sendable, Hashable, CustomStringConvertible {
    /// What it takes to apply a change.
    public enum Effect: String, Sendable, CaseIterable {
        /// Applied on reload, without touching a connection that does not depend on it.
        case reload
        /// Takes effect when the agent is started anew.
        case restart
    }

    /// The key: `listen.mesh`, `services[db].weight`, `services[db]` for a service that came or went.
    public let key: String
    /// The old value as people read it; nil for an element that was added.
    public let old: String?
    /// The new value as people read it; nil for an element that was removed.
    public let new: String?
    /// What it takes to apply it.
    public let effect: Effect

    /// `listen.mesh: 127.0.0.1:7400 → 127.0.0.1:7401 (needs a restart)`
    public var description: String {
        let what =
            switch (old, new) {
            case (nil, _): "added"
            case (_, nil): "removed"
            case (let old?, let new?): "\(old) → \(new)"
            }
        return "\(key): \(what)\(effect == .restart ? " (needs a restart)" : "")"
    }
}

extension EffectiveConfiguration {
    /// This configuration, read while `running` runs: what needs a restart stays as it runs, and so does what was derived
    /// from it. Changes are told against the result, so that one that waits for a restart is told again.
    func keepingWhatRuns(_ running: Configuration) -> EffectiveConfiguration {
        var kept = configuration
        for field in ConfigurationTable.root { field.keep(running, &kept) }
        let advertise = origins["node.advertise"]
        if advertise == nil || advertise == origins["listen.mesh"] {
            kept.node.advertise = Configuration.advertised(at: kept.listen.mesh)
        }
        return EffectiveConfiguration(configuration: kept, origins: origins, warnings: warnings, file: file)
    }
}

extension Configuration {
    /// What is different in `new`, in the order of the documentation.
    public func changes(to new: Configuration) -> [ConfigurationChange] {
        ConfigurationTable.root.flatMap { $0.changes(self, new) }
    }

    /// The addresses that a node without `node.advertise` is reached at: that of its listener, where it is a single one.
    static func advertised(at mesh: Address?) -> [Address] {
        guard let mesh, !mesh.isWildcard, mesh.port != 0 else { return [] }
        return [mesh]
    }
}
