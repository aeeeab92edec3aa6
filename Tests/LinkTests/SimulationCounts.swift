/// What a simulation came across, counted; a run that never met something proves nothing about it.
protocol SimulationCounts {
    /// All the counts.
    static var fields: [WritableKeyPath<Self, Int>] { get }
}

extension SimulationCounts {
    static func += (left: inout Self, right: Self) {
        for path in fields { left[keyPath: path] += right[keyPath: path] }
    }
}
