/**
 * Names for the quantities that every layer passes around. The branded ones cannot be mixed by accident; the plain
 * aliases are arithmetic values whose name says the unit.
 */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Identity of a node process, 1..65535; 0 never names a node. */
export type NodeId = Branded<number, 'NodeId'>;
/** Identity of a Raft group, 1..2^32-1. */
export type GroupId = Branded<number, 'GroupId'>;
/** Hybrid logical clock value: 48 bits unix ms, 16 bits logical, as an unsigned 64-bit bigint. */
export type HlcTimestamp = Branded<bigint, 'HlcTimestamp'>;

/** Raft term; starts at 0, the first election makes it 1. */
export type Term = number;
/** Index of a Raft log entry; the first entry has index 1. */
export type LogIndex = number;
/** A duration or an instant in milliseconds; which clock it is of is in the name that carries it. */
export type Millis = number;

export const nodeId = (value: number): NodeId => value as NodeId;
export const groupId = (value: number): GroupId => value as GroupId;
export const hlcTimestamp = (value: bigint): HlcTimestamp => value as HlcTimestamp;
