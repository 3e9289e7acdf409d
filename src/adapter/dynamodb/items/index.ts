/**
 * Items: what is done to them, one at a time, in batches and in transactions, and how they are found. `write-item` is the one body of all writes,
 * `item-changes` makes Put, Update and Delete of requests, `item-store` takes both to the groups that have the rows, `page-plan` and `query-scan` read
 * pages.
 */

export { type ReturnConsumedCapacity, TableCosts } from './consumed-capacity.ts';
export { bindChange, conditionFailed, type ItemChange } from './item-changes.ts';
export { type ItemServices, ItemStore } from './item-store.ts';
export { type PagePlan, planQuery, planScan } from './page-plan.ts';
export { answerPage, type PageAnswer } from './query-scan.ts';
export { writeChange } from './single-items.ts';
export { createTablesAndItems, type TablesAndItems, type TablesAndItemsParts } from './tables-and-items.ts';
export { transactGet } from './transact-get.ts';
export { canceled, reasonOf, requestToken, transactCosts, transactWrite } from './transact-write.ts';
export { fenceOf, type ItemWrite, keysOfWrite, type StreamLane, type WrittenItem, writeItem } from './write-item.ts';
