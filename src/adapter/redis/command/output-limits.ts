/** How much a client may leave unread before it is disconnected (`client-output-buffer-limit`). */

/** 0 is no limit. */
export interface OutputLimit {
  /** At once. */
  readonly hardBytes: number;
  /** When it lasts. */
  readonly softBytes: number;
  readonly softSeconds: number;
}

/** Kinds of clients, as Redis names them. */
export type OutputClass = 'normal' | 'slave' | 'pubsub';

/**
 * By the kind of a client. Only `pubsub` decides something, about messages that are no replies: a client that leaves replies unread is not read any
 * more, and there are no replicas among the clients.
 */
export type OutputLimits = Readonly<Record<OutputClass, OutputLimit>>;

const MIB = 1024 * 1024;

export const DEFAULT_OUTPUT_LIMITS: OutputLimits = {
  normal: { hardBytes: 0, softBytes: 0, softSeconds: 0 },
  slave: { hardBytes: 256 * MIB, softBytes: 64 * MIB, softSeconds: 60 },
  pubsub: { hardBytes: 32 * MIB, softBytes: 8 * MIB, softSeconds: 60 },
};
