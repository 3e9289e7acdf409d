/** A deliberate break of kvorum, as a change of its source text made while the module loads. */
export interface Mutation {
  /** Path below the project's root, with forward slashes. */
  readonly file: string;
  /** Must occur in the file exactly once; a mutant that no longer fits is an error, not a pass. */
  readonly find: string;
  readonly replace: string;
}

/** A broken kvorum and the run that must notice. */
export interface Mutant {
  readonly name: string;
  readonly description: string;
  readonly mutations: readonly Mutation[];
  /**
   * Pauses where the rule that is removed looks out for what others do meanwhile: without them the break is met by luck. They break nothing by
   * themselves, and `mutants --delays-alone` shows that.
   */
  readonly delays?: readonly Mutation[];
  readonly workload: string;
  readonly nemeses: readonly string[];
  readonly seconds: number;
  /** Where the usual load or faults would not reach the break often enough. */
  readonly rate?: number;
  readonly concurrency?: number;
  readonly overlap?: number;
  readonly faultSeconds?: number;
  /** Data groups beside the catalog's; one group for everything unless given. */
  readonly groups?: number;
}
