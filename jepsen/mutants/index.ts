/** Deliberately broken kvorums. Each must be caught by its workload; one that is not means that the tests are blind there. */
import type { Mutant } from './types.ts';

export const mutants: readonly Mutant[] = [];
