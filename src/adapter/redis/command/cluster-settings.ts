/** Settings of Redis that are one for the whole cluster: CONFIG SET on any node changes them for all. */
export interface ClusterSettings {
  /** `notify-keyspace-events` as this node knows it, each letter by itself. */
  keyspaceEvents(): string;
  /**
   * Settles when the nodes of the cluster go by it.
   * @throws KvorumError when it was not changed, or nobody knows whether it was
   */
  setKeyspaceEvents(letters: string): Promise<void>;
}

/** Those of a node that is alone. */
export function ownSettings(): ClusterSettings {
  let events = '';
  return {
    keyspaceEvents: () => events,
    setKeyspaceEvents: async (letters) => {
      events = letters;
    },
  };
}
