/** Whether there is anything to keep up here, found out without asking another node. */
import type { KvService } from '../../../kv/index.ts';
import { TABLE_ROWS } from '../rows/index.ts';

/** True when a group that this node leads has a row of a table. Leadership that is lost meanwhile counts as none. */
export async function leadsTables(kv: Pick<KvService, 'stretchAt' | 'servesLocally' | 'scan'>): Promise<boolean> {
  for (let start = TABLE_ROWS.start; Buffer.compare(start, TABLE_ROWS.end) < 0; ) {
    const { group, end: bound = TABLE_ROWS.end } = kv.stretchAt(start);
    const end = Buffer.compare(bound, TABLE_ROWS.end) < 0 ? bound : TABLE_ROWS.end;
    if (kv.servesLocally(group)) {
      const page = await kv.scan(group, { start, end, limit: 1, keysOnly: true }).catch(() => undefined);
      if (page !== undefined && page.rows.length > 0) return true;
    }
    start = end;
  }
  return false;
}
