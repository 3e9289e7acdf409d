/**
 * Addresses of nodes travel in the context of configuration changes (suffrage derives from the committed configuration,
 * addresses only from what is said beside it). The context is MessagePack: small, rare, and open for more to be said in it.
 */
import { Packr } from 'msgpackr';
import { type NodeId, nodeId } from '../../platform/index.ts';

/** Where the node's owner keeps addresses. */
export interface PeerAddressBook {
  /** `host:port` of a node, undefined when unknown. */
  lookup(peer: NodeId): string | undefined;
  /** A committed configuration change named an address. */
  learned(peer: NodeId, address: string): void;
}

// Records are an extension of the library's own; without them the bytes are plain MessagePack.
const codec = new Packr({ useRecords: false, variableMapSize: true });

/** Context of a configuration change that tells the addresses of the nodes it brings in. */
export function encodeAddresses(addresses: Iterable<readonly [NodeId, string]>): Buffer {
  // Copied out of the library's pool, which the log would keep alive.
  return Buffer.from(codec.pack({ addresses: [...addresses] }));
}

/** Addresses named by a context; contexts of other layers, and broken ones, name none. */
export function decodeAddresses(context: Buffer): Map<NodeId, string> {
  const found = new Map<NodeId, string>();
  for (const pair of pairsOf(context)) {
    if (!Array.isArray(pair)) continue;
    const [id, address] = pair as unknown[];
    if (Number.isInteger(id) && (id as number) > 0 && typeof address === 'string') {
      found.set(nodeId(id as number), address);
    }
  }
  return found;
}

function pairsOf(context: Buffer): readonly unknown[] {
  if (context.length === 0) return [];
  let parsed: unknown;
  try {
    parsed = codec.unpack(context);
  } catch {
    return [];
  }
  const pairs = (parsed as { addresses?: unknown } | null | undefined)?.addresses;
  return Array.isArray(pairs) ? pairs : [];
}
