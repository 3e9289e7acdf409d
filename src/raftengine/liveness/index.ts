/**
 * Which peers are there, which groups are at rest, whose clocks agree, and the wheel of all timers.
 */

export { ClockExchange, type PeerClocks, type PeerReading } from './clock-exchange.ts';
export { type Beat, decodeBeat, encodeBeat, isBeat, newLife } from './peer-beat.ts';
export { PeerLiveness } from './peer-liveness.ts';
export { type Restable, RestingGroups } from './resting-groups.ts';
export { TimerWheel } from './timer-wheel.ts';
