/**
 * Addresses of nodes travel in the context of configuration changes (suffrage derives from the committed configuration,
 * addresses only from what is said beside it). The context is JSON: small, rare and readable in a log dump.
 */
import { type NodeId, nodeId } from '../platform/index.ts';

/** Where the node's owner keeps addresses. */
export interface PeerAddressBook {
  /** `host:port` of a node, undefined when unknown. */
  lookup(peer: NodeId): string | undefined;
  /** A committed configuration change named an address. */
  learned(peer: NodeId, address: string): void;
}

interface Context {
  readonly addresses?: Readonly<Record<string, unknown>>;
}

/** Context of a configuration change that tells the addresses of the nodes it brings in. */
export function encodeAddresses(addresses: Iterable<readonly [NodeId, string]>): Buffer {
  return Buffer.from(JSON.stringify({ addresses: Object.fromEntries(addresses) }));
}

/** Addresses named by a context; contexts of other layers, and broken ones, name none. */
export function decodeAddresses(context: Buffer): Map<NodeId, string> {
  const found = new Map<NodeId, string>();
  if (context.length === 0) return found;
  let parsed: Context | null;
  try {
    parsed = JSON.parse(context.toString()) as Context | null;
  } catch {
    return found;
  }
  for (const [id, address] of Object.entries(parsed?.addresses ?? {})) {
    if (typeof address === 'string') found.set(nodeId(Number(id)), address);
  }
  return found;
}
