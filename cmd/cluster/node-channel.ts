/**
 * What a node process and the launcher above it say to each other over Node's IPC channel. The launcher asks, the node
 * answers; the only thing a node says unasked is that it listens.
 */
import type { ChildProcess } from 'node:child_process';

export interface NodeAddresses {
  readonly redis: string;
  /** Undefined: the node has no port for cluster clients. */
  readonly redisCluster?: string | undefined;
  /** Undefined: there is no such port. */
  readonly dynamodb?: string | undefined;
  readonly grpc: string;
  readonly metrics: string;
}

/** One Raft group as a node sees it. */
export interface GroupView {
  readonly groupId: number;
  readonly role: string;
  readonly term: number;
  /** Node id of the leader; undefined while unknown. */
  readonly leader: number | undefined;
  readonly commitIndex: number;
  readonly appliedIndex: number;
}

/** What a node says about itself. */
export interface NodeView {
  /** Clients are served. */
  readonly isReady: boolean;
  /** `ready`, or what is still missing. */
  readonly reason: string;
  /** Groups that have a replica there, by id. */
  readonly groups: readonly GroupView[];
}

export type FromNode =
  | { readonly kind: 'listening'; readonly addresses: NodeAddresses }
  | ({ readonly kind: 'status' } & NodeView);

export type ToNode = { readonly kind: 'askStatus' };

/** The node's end. Does nothing in a process that has no channel. */
export function sendToLauncher(message: FromNode): void {
  // A launcher that is gone is noticed by 'disconnect'; a lost message needs no second report.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

/** The launcher's end. */
export function sendToNode(child: ChildProcess, message: ToNode): void {
  if (child.connected) child.send(message, () => {});
}

/** True for what `kvorum server` sends; anything else on the channel is ignored. */
export function isFromNode(message: unknown): message is FromNode {
  const kind = (message as { kind?: unknown } | null)?.kind;
  return kind === 'listening' || kind === 'status';
}

/** True for what the launcher sends. */
export const isToNode = (message: unknown): message is ToNode =>
  (message as { kind?: unknown } | null)?.kind === 'askStatus';
