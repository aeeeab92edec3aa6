import Glibc
import Link
import Testing

/// Streams that change their lane, under virtual time, see `LaneSimulation`. `MESH_LANES_SEED` repeats one episode,
/// `MESH_SIMULATION_STEPS` sets how long to go on.
@Suite struct LaneSimulationTests {
    private static let stepsPerEpisode = 4_000

    @Test func streamsChangeTheirLane() {
        var coverage = LaneCoverage()
        if let seed = getenv("MESH_LANES_SEED").flatMap({ UInt64(String(cString: $0)) }) {
            episode(seed: seed, &coverage)
            return
        }
        let steps = getenv("MESH_SIMULATION_STEPS").flatMap { Int(String(cString: $0)) } ?? SimulationTests.defaultSteps
        var done = 0
        var seed: UInt64 = 1
        while done < steps * 4, episode(seed: seed, &coverage) {
            done += LaneSimulationTests.stepsPerEpisode
            seed += 1
        }
        for field in LaneCoverage.fields {
            #expect(coverage[keyPath: field] > 0, "the simulation never met \(field)")
        }
    }

    /// Whether the promises were kept.
    @discardableResult
    private func episode(seed: UInt64, _ coverage: inout LaneCoverage) -> Bool {
        let simulation = LaneSimulation(seed: seed)
        defer { coverage += simulation.sumOfCoverage }
        do {
            try simulation.run(steps: LaneSimulationTests.stepsPerEpisode)
            return true
        } catch {
            Issue.record("\(error) (step \(simulation.steps); repeat with MESH_LANES_SEED=\(seed))")
            return false
        }
    }
}
