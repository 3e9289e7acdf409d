/** Makes a failing plan smaller: shorter, with fewer workloads, clients and faults, as long as the same invariant breaks. */
import { ClusterSimulation } from './cluster-simulation.ts';
import type { Plan } from './plan.ts';
import { InvariantViolation } from './violation.ts';

/** Each try is a whole run. */
const MAX_TRIES = 80;

export interface Failure {
  readonly plan: Plan;
  readonly error: Error;
}

/** Runs a plan. @returns what went wrong; undefined when nothing did */
export async function failureOf(plan: Plan, trace?: (line: string) => void): Promise<Error | undefined> {
  try {
    await new ClusterSimulation(plan, trace).run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

const invariantOf = (error: Error): string => (error instanceof InvariantViolation ? error.invariant : error.name);

/** @returns the smallest failing plan found, and how it fails */
export async function shrink(failure: Failure): Promise<Failure> {
  let best = failure;
  let tries = 0;
  const attempt = async (plan: Plan): Promise<boolean> => {
    if (tries >= MAX_TRIES) return false;
    tries += 1;
    const error = await failureOf(plan);
    if (error === undefined || invariantOf(error) !== invariantOf(failure.error)) return false;
    best = { plan, error };
    return true;
  };
  for (const workload of failure.plan.workloads) {
    const workloads = best.plan.workloads.filter((other) => other !== workload);
    if (workloads.length > 0) await attempt({ ...best.plan, workloads });
  }
  if (failure.plan.routes !== undefined) await attempt({ ...best.plan, routes: undefined });
  if (failure.plan.bodies !== 'usual') await attempt({ ...best.plan, bodies: 'usual' });
  if (failure.plan.crossesGroups) await attempt({ ...best.plan, crossesGroups: false });
  while (best.plan.durationMs > 500 && (await attempt(shortened(best.plan, best.plan.durationMs / 2))));
  await attempt(shortened(best.plan, best.plan.durationMs * 0.75));
  await dropSome(
    () => best.plan.faults,
    (faults) => attempt({ ...best.plan, faults }),
  );
  await dropSome(
    () => best.plan.routes?.orders ?? [],
    (orders) => attempt({ ...best.plan, routes: { ...best.plan.routes!, orders } }),
  );
  while (best.plan.clientsPerWorkload > 1) {
    if (!(await attempt({ ...best.plan, clientsPerWorkload: best.plan.clientsPerWorkload - 1 }))) break;
  }
  return best;
}

function shortened(plan: Plan, durationMs: number): Plan {
  const isBefore = ({ atMs }: { readonly atMs: number }): boolean => atMs < durationMs;
  const routes = plan.routes && { ...plan.routes, orders: plan.routes.orders.filter(isBefore) };
  return { ...plan, durationMs, faults: plan.faults.filter(isBefore), routes };
}

/** Leaves out runs of a list, half of it at first, then fewer at a time. */
async function dropSome<T>(
  list: () => readonly T[],
  attempt: (shorter: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let size = Math.ceil(list().length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < list().length; ) {
      if (!(await attempt(list().filter((_, index) => index < at || index >= at + size)))) at += size;
    }
  }
}
