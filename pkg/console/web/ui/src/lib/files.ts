/** Where the API has a file that a message tells of; "" for one that is not in the box. */
export function keptAt(url: string, reason: string): string {
  const id = /^https:\/\/[^/]+\/files\/([0-9a-z]{32})$/.exec(url)?.[1];
  return id && reason ? `/api/v1/files/${id}?${new URLSearchParams({ reason })}` : '';
}
