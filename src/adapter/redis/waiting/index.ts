/**
 * Commands that wait for keys, on any node. `waiting-call` is the command of a client, `waiting-place` its place in the line of one group;
 * `waiting-desk` keeps it where the group is led, `waiting-operation` is what is evaluated there, `waiting-messages` what both ends say to each other.
 */
export { waitingCallOf } from './make-call.ts';
export { type WaitEnd, WaitingCall, type WaitingCallEnvironment } from './waiting-call.ts';
export { WaitingDesk } from './waiting-desk.ts';
