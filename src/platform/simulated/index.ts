export type { EventOwner } from './event-heap.ts';
export { SIMULATION_EPOCH_MS, SimClock } from './sim-clock.ts';
export { SimDisk } from './sim-disk.ts';
export { GOOD_LINK, type LinkBehaviour } from './sim-links.ts';
export { SimMachine } from './sim-machine.ts';
export { SimFabric, SimNetwork } from './sim-network.ts';
export { SimScheduler } from './sim-scheduler.ts';
export { SimStreamBrokenError } from './sim-stream.ts';
export { Simulation, type SimulationOptions, SimulationTimeoutError } from './simulation.ts';
