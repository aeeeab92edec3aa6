import Glibc
import Link
import Testing

/// Two agents under virtual time, see `Simulation`. `MESH_SIMULATION_SEED` repeats one episode,
/// `MESH_SIMULATION_STEPS` sets how long to go on.
@Suite struct SimulationTests {
    #if DEBUG
        static let defaultSteps = 60_000
    #else
        static let defaultSteps = 3_000_000
    #endif
    private static let stepsPerEpisode = 3_000

    @Test func twoAgentsKeepEveryPromise() {
        var coverage = SimulationCoverage()
        if let seed = getenv("MESH_SIMULATION_SEED").flatMap({ UInt64(String(cString: $0)) }) {
            episode(seed: seed, &coverage)
            return
        }
        let steps = getenv("MESH_SIMULATION_STEPS").flatMap { Int(String(cString: $0)) } ?? SimulationTests.defaultSteps
        var done = 0
        var seed: UInt64 = 1
        while done < steps, episode(seed: seed, &coverage) {
            done += SimulationTests.stepsPerEpisode
            seed += 1
        }
        for field in SimulationCoverage.fields {
            #expect(coverage[keyPath: field] > 0, "the simulation never met \(field)")
        }
    }

    /// Whether the promises were kept.
    @discardableResult
    private func episode(seed: UInt64, _ coverage: inout SimulationCoverage) -> Bool {
        let simulation = Simulation(seed: seed)
        defer { coverage += simulation.coverage }
        do {
            try simulation.run(steps: SimulationTests.stepsPerEpisode)
            return true
        } catch {
            Issue.record("\(error) (step \(simulation.steps); repeat with MESH_SIMULATION_SEED=\(seed))")
            return false
        }
    }
}
