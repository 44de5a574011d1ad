// The screens of the network, fetched when the first of them is shown.
import NetDiagnosis from './NetDiagnosis.svelte';
import NetEdit from './NetEdit.svelte';
import NetFirewall from './NetFirewall.svelte';
import NetHosts from './NetHosts.svelte';
import NetRevisions from './NetRevisions.svelte';
import Network from './Network.svelte';

export const screens: Record<string, typeof Network> = {
  '/network': Network,
  '/network/edit': NetEdit,
  '/network/firewall': NetFirewall,
  '/network/hosts': NetHosts,
  '/network/diagnosis': NetDiagnosis,
  '/network/revisions': NetRevisions,
};
