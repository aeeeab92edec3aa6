import Glibc
import Link
import Testing

/// Takeovers under virtual time, see `TakeoverSimulation`. `MESH_TAKEOVER_SEED` repeats one episode, `MESH_SIMULATION_STEPS` sets
/// how long to go on.
@Suite struct TakeoverSimulationTests {
    private static let stepsPerEpisode = 2_000

    @Test func aSuccessorLosesNothing() {
        var coverage = TakeoverCoverage()
        if let seed = getenv("MESH_TAKEOVER_SEED").flatMap({ UInt64(String(cString: $0)) }) {
            episode(seed: seed, &coverage)
            return
        }
        let steps = getenv("MESH_SIMULATION_STEPS").flatMap { Int(String(cString: $0)) } ?? SimulationTests.defaultSteps
        var done = 0
        var seed: UInt64 = 1
        while done < steps * 2, episode(seed: seed, &coverage) {
            done += TakeoverSimulationTests.stepsPerEpisode
            seed += 1
        }
        for field in TakeoverCoverage.fields {
            #expect(coverage[keyPath: field] > 0, "the simulation never met \(field)")
        }
    }

    /// Whether the promises were kept.
    @discardableResult
    private func episode(seed: UInt64, _ coverage: inout TakeoverCoverage) -> Bool {
        let simulation = TakeoverSimulation(seed: seed)
        defer { coverage += simulation.coverage }
        do {
            try simulation.run(steps: TakeoverSimulationTests.stepsPerEpisode)
            return true
        } catch {
            Issue.record("\(error) (step \(simulation.steps); repeat with MESH_TAKEOVER_SEED=\(seed))")
            return false
        }
    }
}
