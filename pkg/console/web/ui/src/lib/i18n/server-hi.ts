// What the box itself says, in Hindi. {} stands for what varies. A text that is not here is shown
// as the box wrote it.

const texts: readonly (readonly [english: string, hindi: string])[] = [
  // of the page
  ['the box does not answer', 'बॉक्स जवाब नहीं दे रहा'],
  ['check the network between you and the box', 'अपने और बॉक्स के बीच का नेटवर्क देखें'],
  ['the answer was not understood (status {})', 'जवाब समझ में नहीं आया (स्थिति {})'],
  ['reload the page', 'पेज फिर से लोड करें'],

  // of all refusals
  ['1 field is wrong', 'एक जगह ग़लती है'],
  ['{} fields are wrong', '{} जगह ग़लती है'],
  ['correct the fields named and send it again', 'बताई गई जगहें ठीक करके फिर भेजें'],
  ['must be present', 'भरना ज़रूरी है'],
  ['add it', 'इसे भरें'],
  ['give a value that keeps the rule', 'नियम के अनुसार मान दें'],
  ['the box could not do this', 'बॉक्स यह नहीं कर सका'],
  ['try again; if it stays, send the log to support', 'फिर कोशिश करें; न हो तो लॉग सहायता टीम को भेजें'],
  ['the part {} does not answer', 'हिस्सा {} जवाब नहीं दे रहा'],
  ['wait a moment: it is restarted by itself', 'थोड़ा रुकें: वह ख़ुद फिर शुरू होता है'],
  ['it is restarted by itself; if it stays away, restart the box', 'यह ख़ुद फिर शुरू होता है; न हो तो बॉक्स को रीस्टार्ट करें'],
  ['the disk is full: this cannot be kept', 'डिस्क भर गई है: यह सहेजा नहीं जा सकता'],
  ['free disk space', 'डिस्क पर जगह ख़ाली करें'],
  ['the request is too long', 'अनुरोध बहुत बड़ा है'],
  ['send less at once', 'एक बार में कम भेजें'],
  ['too many pages are open', 'बहुत सारे पेज खुले हैं'],
  ['close one of them', 'उनमें से कोई बंद करें'],

  // messages
  ['your role may not read what messages say', 'आपकी भूमिका संदेशों की बातें नहीं पढ़ सकती'],
  ['ask without content and words, or ask an owner', 'बिना बातों और शब्दों के पूछें, या मालिक से कहें'],
  ['must be present where what messages say is read', 'जहाँ संदेशों की बातें पढ़ी जाती हैं वहाँ कारण ज़रूरी है'],
  ['tell why you read it: it stands in the audit log', 'बताएँ कि क्यों पढ़ते हैं: यह ऑडिट लॉग में लिखा जाता है'],
  ['at least one letter, digit or emoji', 'कम से कम एक अक्षर, अंक या इमोजी'],
  ['write a word of the message', 'संदेश का कोई शब्द लिखें'],
  ['at most {} words', 'ज़्यादा से ज़्यादा {} शब्द'],
  ['leave out the common ones', 'आम शब्द छोड़ दें'],

  // what is kept
  ['at least {} days', 'कम से कम {} दिन'],
  ['keep records longer', 'रिकॉर्ड ज़्यादा दिन रखें'],
  ['at most {} days', 'ज़्यादा से ज़्यादा {} दिन'],
  ['keep records for ten years at most', 'रिकॉर्ड ज़्यादा से ज़्यादा दस साल रखें'],

  // recordings
  ['the sound of this recording is erased', 'इस रिकॉर्डिंग की आवाज़ मिटा दी गई है'],
  ['its record tells when and by whom', 'उसका रिकॉर्ड बताता है कि कब और किसने'],
  ['this recording is not open, or no more', 'यह रिकॉर्डिंग खुली नहीं है'],
  ['from 1 to as many days as records are kept', '1 से उतने दिन जितने दिन रिकॉर्ड रखे जाते हैं'],
  ['keep recordings for fewer days, or records for more', 'रिकॉर्डिंग कम दिन रखें, या रिकॉर्ड ज़्यादा दिन'],
  ['policy', 'नियम से'],
  ['feature code', 'फ़ोन के कोड से'],
  ['page', 'पेज से'],

  // first start and sign-in
  ['the set-up code is wrong', 'सेट-अप कोड ग़लत है'],
  ['type the code that the box shows', 'बॉक्स जो कोड दिखाता है वह लिखें'],
  ['the code that the box shows', 'वह कोड जो बॉक्स दिखाता है'],
  ['read it again from the box', 'बॉक्स से फिर पढ़ें'],
  ['too many wrong guesses: the next one is looked at in {} s', 'बहुत बार ग़लत कोशिश हुई: अगली कोशिश {} सेकंड बाद देखी जाएगी'],
  ['wait, then try again', 'रुकें, फिर कोशिश करें'],
  ['too many sign in at this moment', 'अभी बहुत लोग साइन इन कर रहे हैं'],
  ['try again in a second', 'एक सेकंड बाद फिर कोशिश करें'],
  ['name or password is wrong', 'नाम या पासवर्ड ग़लत है'],
  ['try again, or ask the owner of the box', 'फिर कोशिश करें, या बॉक्स के मालिक से पूछें'],
  ['the box is set up already', 'बॉक्स पहले ही तैयार हो चुका है'],
  ['the box is not set up yet', 'बॉक्स अभी तैयार नहीं हुआ है'],
  ['sign in', 'साइन इन करें'],
  ['1 to {} printable characters, no space at the ends', '1 से {} दिखने वाले अक्षर, शुरू या अंत में ख़ाली जगह नहीं'],
  ['choose another name', 'दूसरा नाम चुनें'],
  ['at least {} characters', 'कम से कम {} अक्षर'],
  ['at most {} characters', 'ज़्यादा से ज़्यादा {} अक्षर'],
  ['at most {} bytes', 'ज़्यादा से ज़्यादा {} बाइट'],
  ['make it longer: four words that have nothing to do with each other are good', 'लंबा करें: आपस में असंबंधित चार शब्द अच्छे रहते हैं'],
  ['make it shorter', 'छोटा करें'],
  ['not easy to guess: few different characters', 'आसानी से न पहचाना जाए: अलग-अलग अक्षर कम हैं'],
  ['not easy to guess: it repeats itself', 'आसानी से न पहचाना जाए: वही बार-बार है'],
  ['not easy to guess: characters in a row', 'आसानी से न पहचाना जाए: अक्षर क्रम से हैं'],
  ['not easy to guess: a common word, or one about this box, with digits', 'आसानी से न पहचाना जाए: आम शब्द, या इस बॉक्स से जुड़ा शब्द, अंकों के साथ'],
  ['four words that have nothing to do with each other are good', 'आपस में असंबंधित चार शब्द अच्छे रहते हैं'],
  ['the password you have now', 'आपका अभी का पासवर्ड'],
  ['type it again', 'फिर से लिखें'],
  ['not the one you have now', 'वही नहीं जो अभी है'],
  ['choose another', 'दूसरा चुनें'],
  ['the password was changed meanwhile', 'पासवर्ड इस बीच बदल गया'],
  ['sign in again', 'फिर से साइन इन करें'],
  ['is {} already and cannot be changed', 'पहले से {} है और बदला नहीं जा सकता'],
  ['choose the SIP domain of all accounts, for instance pbx.example', 'सभी खातों का SIP डोमेन चुनें, जैसे pbx.example'],
  ['a host name of at most 253 characters, in lower case', 'होस्ट नाम, ज़्यादा से ज़्यादा 253 छोटे अक्षर'],
  ['write it as in an address, for instance pbx.example.com', 'वैसे लिखें जैसे पते में होता है, उदाहरण pbx.example.com'],
  ['the domain is set already', 'डोमेन पहले से तय है'],
  ['not the name of another token', 'किसी दूसरे टोकन का नाम नहीं'],
  ['there is an API token of this name', 'इस नाम का API टोकन पहले से है'],
  ['choose another name, or revoke the other', 'दूसरा नाम चुनें, या दूसरा टोकन रद्द करें'],
  ['there is no such API token', 'ऐसा कोई API टोकन नहीं है'],

  // users
  ['1 to {} of a-z, 0-9 and . _ - + * #, starting with a letter or a digit', '1 से {} अक्षर: a-z, 0-9 और . _ - + * #, शुरुआत अक्षर या अंक से'],
  ['choose another name, for instance first.last', 'दूसरा नाम चुनें, जैसे first.last'],
  ['at most {} numbers', 'ज़्यादा से ज़्यादा {} नंबर'],
  ['remove some', 'कुछ हटाएँ'],
  ['1 to {} digits, * or #, with + in front at most', '1 से {} अंक, * या #, आगे सिर्फ़ + हो सकता है'],
  ['write it as it is dialled, for instance 204 or +912212345678', 'वैसे लिखें जैसे डायल होता है, उदाहरण 204 या +912212345678'],
  ['at most {} characters, none of them a control character', 'ज़्यादा से ज़्यादा {} अक्षर, कोई नियंत्रण-अक्षर नहीं'],
  ['shorten it', 'छोटा करें'],
  ['an address of the form name@host', 'name@host जैसा पता'],
  ['correct it or leave it empty', 'ठीक करें या ख़ाली छोड़ें'],
  ['digits, spaces, - . ( ) and + in front, at most 32 characters', 'अंक, ख़ाली जगह, - . ( ) और आगे +, ज़्यादा से ज़्यादा 32 अक्षर'],
  ['choose a longer one, or leave it empty and the box makes one', 'लंबा चुनें, या ख़ाली छोड़ें तो बॉक्स बना देगा'],
  ['choose a shorter one', 'छोटा चुनें'],
  ['unique among names and numbers; {} has it', 'नाम और नंबर में एक ही बार; यह {} के पास है'],
  ['choose another number', 'दूसरा नंबर चुनें'],
  ['named once', 'एक ही बार'],
  ['remove the double', 'दोहराव हटाएँ'],
  ['somebody else has changed {} meanwhile', 'इस बीच किसी और ने {} को बदल दिया'],
  ['look at the user again, then repeat your change', 'यूज़र को फिर देखें, फिर अपना बदलाव दोहराएँ'],
  ['there is no such user', 'ऐसा कोई यूज़र नहीं है'],
  ['list the users', 'यूज़र की सूची देखें'],
  ['there is no such call', 'ऐसी कोई कॉल नहीं है'],
  ['it may be over', 'शायद ख़त्म हो चुकी है'],

  // import
  ['line {}: {}', 'पंक्ति {}: {}'],
  ['line {}', 'पंक्ति {}'],
  ['a header row', 'कॉलम के नामों वाली पहली पंक्ति'],
  ['start the file with: user,password', 'फ़ाइल की शुरुआत इससे करें: user,password'],
  ['as many fields as the header row, quotes closed', 'पहली पंक्ति जितने ही मान, उद्धरण चिह्न बंद'],
  ['correct the line', 'पंक्ति ठीक करें'],
  ['a column user or number', 'कॉलम user या number'],
  ['a column password or ha1', 'कॉलम password या ha1'],
  ['add one', 'एक जोड़ें'],
  ['rename or remove the column', 'कॉलम का नाम बदलें या हटाएँ'],
  ['one of {}', 'इनमें से एक: {}'],
  ['a password or an ha1 for a new user', 'नए यूज़र के लिए password या ha1'],
  ['fill in one of them', 'उनमें से एक भरें'],
  ['named once in the file; line {} has it', 'फ़ाइल में एक ही बार; यह पंक्ति {} में है'],
  ['remove one of the lines', 'उनमें से एक पंक्ति हटाएँ'],
  ['at most {} users on a box', 'एक बॉक्स पर ज़्यादा से ज़्यादा {} यूज़र'],
  ['remove users that are gone', 'जो यूज़र नहीं रहे उन्हें हटाएँ'],

  // records
  ['there is no such record', 'ऐसा कोई रिकॉर्ड नहीं है'],
  ['it may have been too old to keep', 'शायद वह रखने के लिए बहुत पुराना था'],
  ['not before from', 'शुरुआत के समय से पहले नहीं'],
  ['exchange the two', 'दोनों को आपस में बदलें'],
  ['the archive stops', 'रिकॉर्ड का हिस्सा बंद हो रहा है'],
  ['try again in a moment', 'थोड़ी देर में फिर कोशिश करें'],

  // alarms
  ['the disk of the records cannot be read', 'रिकॉर्ड की डिस्क पढ़ी नहीं जा रही'],
  ['check the disk', 'डिस्क जाँचें'],
  ['only {} MB of disk are free: records are not stored, they wait in each part\'s queue; calls go on', 'डिस्क पर सिर्फ़ {} MB ख़ाली है: रिकॉर्ड सहेजे नहीं जा रहे, वे कतार में रुके हैं; कॉल चल रही हैं'],
  ['only {} MB of disk are free; below {} MB no records are stored', 'डिस्क पर सिर्फ़ {} MB ख़ाली है; {} MB से कम होने पर रिकॉर्ड नहीं सहेजे जाएँगे'],
  ['free disk space, or keep records for fewer days', 'डिस्क पर जगह ख़ाली करें, या रिकॉर्ड कम दिन रखें'],
  ['call and registration records are not written: the disk is full or damaged', 'कॉल और रजिस्ट्रेशन के रिकॉर्ड नहीं लिखे जा रहे: डिस्क भर गई है या ख़राब है'],
  ['registrations cannot be written to disk: after a restart phones would have to register again', 'रजिस्ट्रेशन डिस्क पर नहीं लिखे जा रहे: रीस्टार्ट के बाद फ़ोनों को फिर रजिस्टर होना पड़ेगा'],
  ['calls cannot be written to disk: a restart would end them', 'कॉल डिस्क पर नहीं लिखी जा रहीं: रीस्टार्ट से वे कट जाएँगी'],
  ['free space, or replace the disk', 'जगह ख़ाली करें, या डिस्क बदलें'],
  ['the media relay does not answer: no new calls', 'आवाज़ वाला हिस्सा जवाब नहीं दे रहा: नई कॉल नहीं होंगी'],
  ['{} % of the media ports are in use', 'आवाज़ के {} % पोर्ट इस्तेमाल में हैं'],
  ['widen the range of media ports: each call takes four for audio and four for video', 'पोर्ट की सीमा बढ़ाएँ: हर कॉल आवाज़ के लिए चार और वीडियो के लिए चार लेती है'],
  ['{} media streams were ended by a fault of the box', 'बॉक्स की ग़लती से आवाज़ की {} धाराएँ बंद हुईं'],
  ['send the log to support', 'लॉग सहायता टीम को भेजें'],

  // bridges
  ['from 1 to {} bytes', '1 से {} बाइट तक'],
  ['the name of a user of this box', 'इस बॉक्स के किसी यूज़र का नाम'],
  ['look at the list of users', 'यूज़र की सूची देखें'],
  ['1 to {} users', '1 से {} यूज़र'],
  ['name the users in whose name it may send', 'जिनके नाम से भेज सकता है, उन्हें लिखें'],
  ['1 to {} characters in one line', 'एक पंक्ति में 1 से {} अक्षर'],
  ['give it a short name', 'छोटा नाम दें'],
  ['not the name of another hook', 'किसी और हुक का नाम नहीं'],
  ['at least one event', 'कम से कम एक घटना'],
  ['choose what it is told of', 'चुनें कि किसकी ख़बर दी जाए'],
  ['a web address of at most {} characters', 'ज़्यादा से ज़्यादा {} अक्षरों का वेब पता'],
  ['an address that begins with https:// and a name', 'https:// और नाम से शुरू होने वाला पता'],
  ['give the target a certificate: what users write does not go through the network in clear', 'लक्ष्य को प्रमाणपत्र दें: लोग जो लिखते हैं वह नेटवर्क में खुला नहीं जाता'],
  ['no name and password in the address', 'पते में नाम और पासवर्ड नहीं'],
  ['let the target verify the signature instead', 'इसके बदले लक्ष्य हस्ताक्षर जाँचे'],
  ['not the box itself, and not an address that is valid on one link only', 'बॉक्स ख़ुद नहीं, और सिर्फ़ एक लिंक पर चलने वाला पता नहीं'],
  ['give the target an address of its own', 'लक्ष्य को अपना पता दें'],
  ['the address is that of the box itself, or valid on one link only', 'यह पता बॉक्स का ही है, या सिर्फ़ एक लिंक पर चलता है'],
  ['at least one user for a hook that takes messages in the place of phones', 'फ़ोन की जगह संदेश लेने वाले हुक के लिए कम से कम एक यूज़र'],
  ['name those who have no phones', 'जिनके पास फ़ोन नहीं, उनके नाम लिखें'],
  ['with message.new for a hook that takes messages in the place of phones', 'फ़ोन की जगह संदेश लेने वाले हुक के लिए message.new के साथ'],
  ['certificates in PEM and nothing else', 'PEM में प्रमाणपत्र, और कुछ नहीं'],
  ['paste the certificate of the authority, with its BEGIN and END lines', 'अथॉरिटी का प्रमाणपत्र BEGIN और END की पंक्तियों के साथ चिपकाएँ'],
  ['somebody changed the hook meanwhile', 'इस बीच किसी ने हुक बदल दिया'],
  ['look at it as it is now and change it again', 'अब जैसा है वैसा देखें और फिर बदलें'],
  ['there is no event that failed', 'कोई घटना विफल नहीं हुई'],
  ['look at the hook as it is now', 'हुक को अब जैसा है वैसा देखें'],
  ['the target answered {}, a redirect, which is not followed', 'लक्ष्य ने {} कहा, यानी कहीं और जाने को; वहाँ नहीं जाया जाता'],
  ['the target answered 410: it wants no more events', 'लक्ष्य ने 410 कहा: उसे और घटनाएँ नहीं चाहिए'],
  ['the target answered {}', 'लक्ष्य ने {} कहा'],
  ['enter the address that it leads to, if that is the right one', 'अगर वही सही है, तो वह पता लिखें जहाँ वह भेजता है'],
  ['let the target verify the signature with the hook\'s secret, and let it take requests without signing in', 'लक्ष्य हुक की कुंजी से हस्ताक्षर जाँचे, और बिना साइन-इन के अनुरोध ले'],
  ['correct the address: nothing takes a POST there', 'पता ठीक करें: वहाँ कोई POST नहीं लेता'],
  ['remove the hook, or start it again when the target wants events again', 'हुक हटाएँ, या जब लक्ष्य फिर चाहे तब फिर शुरू करें'],
  ['let the target take 300 KB', 'लक्ष्य 300 KB तक ले'],
  ['look at the log of the target', 'लक्ष्य का लॉग देखें'],
  ['look whether the target runs and can be reached from the box', 'देखें कि लक्ष्य चल रहा है और बॉक्स से पहुँच में है'],
  ['the target cannot be reached', 'लक्ष्य तक पहुँच नहीं'],
  ['the target refuses connections', 'लक्ष्य जुड़ने नहीं देता'],
  ['the target did not answer within {} seconds', 'लक्ष्य ने {} सेकंड में जवाब नहीं दिया'],
  ['let the target answer at once and work later', 'लक्ष्य तुरंत जवाब दे और काम बाद में करे'],
  ['the name of the target is not found', 'लक्ष्य का नाम नहीं मिला'],
  ['correct the address, or look at the box\'s DNS', 'पता ठीक करें, या बॉक्स का DNS देखें'],
  ['the target\'s certificate is of an authority that is not known', 'लक्ष्य का प्रमाणपत्र किसी अनजान अथॉरिटी का है'],
  ['paste the certificate of that authority into the hook', 'उस अथॉरिटी का प्रमाणपत्र हुक में चिपकाएँ'],
  ['the target\'s certificate is for another name', 'लक्ष्य का प्रमाणपत्र किसी और नाम का है'],
  ['correct the address, or give the target a certificate for it', 'पता ठीक करें, या लक्ष्य को उसका प्रमाणपत्र दें'],
  ['the target\'s certificate is not valid', 'लक्ष्य का प्रमाणपत्र मान्य नहीं'],
  ['renew the target\'s certificate, and see that the clock of the box is right', 'लक्ष्य का प्रमाणपत्र नया करें, और देखें कि बॉक्स की घड़ी सही है'],
  ['the target and the box do not agree on TLS', 'लक्ष्य और बॉक्स TLS पर सहमत नहीं'],
  ['let the target speak TLS 1.2 or newer at this port', 'लक्ष्य इस पोर्ट पर TLS 1.2 या नया बोले'],
  ['the hook {} is parked: {}', 'हुक {} रोका गया: {}'],
  ['the hook {} takes no events: {}', 'हुक {} घटनाएँ नहीं ले रहा: {}'],

  // files between users
  ['between {} and {}', '{} और {} के बीच'],
  ['choose a number between them', 'इनके बीच की संख्या चुनें'],
  ['a content type in lower case', 'छोटे अक्षरों में फ़ाइल का प्रकार'],
  ['for instance application/pdf, or image/* for all images', 'जैसे application/pdf, या सब तस्वीरों के लिए image/*'],
  ['the address of an ICAP service', 'ICAP सेवा का पता'],
  ['for instance icap://192.0.2.9:1344/avscan', 'जैसे icap://192.0.2.9:1344/avscan'],
  ['a host name or an address, with a port or without', 'होस्ट का नाम या पता, पोर्ट समेत या उसके बिना'],
  ['for instance pbx.example.com:8443', 'जैसे pbx.example.com:8443'],
  ['{} changed the settings meanwhile', 'इस बीच {} ने सेटिंग बदल दी'],
  ['look at the settings as they are now and change them again', 'सेटिंग अब जैसी है देखें और फिर बदलें'],
  ['the scanner of files does not answer: users\' files are refused', 'फ़ाइलों की वायरस जाँच जवाब नहीं दे रही: यूज़र की फ़ाइलें नहीं ली जा रहीं'],
  ['start the scanner, or correct its address in the settings of files', 'जाँच सेवा शुरू करें, या सेटिंग में उसका पता ठीक करें'],
  ['only {} MB of disk are free: users\' files are refused', 'डिस्क पर सिर्फ़ {} MB ख़ाली है: यूज़र की फ़ाइलें नहीं ली जा रहीं'],
  ['free disk space, or keep files for fewer days', 'डिस्क पर जगह ख़ाली करें, या फ़ाइलें कम दिन रखें'],
  ['there is no such file, or it was erased when its time was over', 'ऐसी कोई फ़ाइल नहीं है, या समय पूरा होने पर मिटा दी गई'],

  // waking phones
  ['an address of HTTP or HTTPS, with placeholders behind its host only', 'HTTP या HTTPS का पता; ख़ाली जगहें होस्ट के बाद ही'],
  ['for instance https://push.example.com/wake?token=$token', 'जैसे https://push.example.com/wake?token=$token'],
  ['the .p8 file as Apple gave it', 'Apple की दी हुई .p8 फ़ाइल'],
  ['make a key for push notifications at Apple\'s page for developers', 'Apple के डेवलपर पेज पर पुश की कुंजी बनाएँ'],
  ['{} characters', '{} अक्षर'],
  ['look it up at Apple\'s page for developers', 'Apple के डेवलपर पेज पर देखें'],
  ['the JSON file of a service account, with project_id, client_email, private_key and token_uri', 'सेवा खाते की JSON फ़ाइल, जिसमें project_id, client_email, private_key और token_uri हों'],
  ['make a key for the service account at Google\'s page for developers and send the file as it is', 'Google के डेवलपर पेज पर सेवा खाते की कुंजी बनाएँ और फ़ाइल ज्यों की त्यों भेजें'],

  // how calls ended
  ['no answer', 'जवाब नहीं मिला'],
  ['answered elsewhere', 'किसी और डिवाइस पर उठाई गई'],
  ['redirected', 'आगे भेजी गई'],
  ['transferred', 'किसी और को सौंपी गई'],
  ['cancelled by the caller', 'कॉल करने वाले ने छोड़ दी'],
  ['the caller hung up', 'कॉल करने वाले ने काटी'],
  ['the callee hung up', 'दूसरी ओर से काटी गई'],
  ['ended by {}', '{} ने काटी'],
  ['overload', 'बहुत ज़्यादा भार'],
  ['fault of the box', 'बॉक्स की ग़लती'],
  ['the callee is not reachable any more', 'दूसरी ओर तक अब पहुँच नहीं'],
  ['the caller is not reachable any more', 'कॉल करने वाले तक अब पहुँच नहीं'],
  ['neither signalling nor media from the callee', 'दूसरी ओर से न सिग्नल आया, न आवाज़'],
  ['neither signalling nor media from the caller', 'कॉल करने वाले से न सिग्नल आया, न आवाज़'],
  ['the user was removed or disabled', 'यूज़र हटा या बंद किया गया'],
  ['the caller did not acknowledge the answer', 'कॉल करने वाले ने जवाब की पुष्टि नहीं की'],
  ['the session was not refreshed', 'सत्र नया नहीं किया गया'],
  ['the switch was restarted while it rang', 'घंटी बजते समय कॉल का हिस्सा रीस्टार्ट हुआ'],
  ['the transfer failed: {}', 'सौंपना विफल हुआ: {}'],
];

interface Pattern {
  match: RegExp;
  hindi: string;
}

const exact = new Map(texts.filter(([en]) => !en.includes('{}')));
const patterns: Pattern[] = texts.filter(([en]) => en.includes('{}')).map(([en, hindi]) => ({ match: pattern(en), hindi }));

function pattern(english: string): RegExp {
  const parts = english.split('{}').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('(.+?)')}$`);
}

/** A text of the box in Hindi, or as it came. */
export function serverHindi(text: string): string {
  const found = exact.get(text);
  if (found) return found;
  for (const { match, hindi } of patterns) {
    const values = match.exec(text);
    if (values) {
      let i = 0;
      return hindi.replace(/\{\}/g, () => values[++i] ?? '');
    }
  }
  return text;
}
