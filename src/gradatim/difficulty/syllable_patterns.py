"""Letter patterns that add a syllable to the vowel groups, or take one away.

Written by `gradatim.difficulty.fitting.syllables` from the CMU Pronouncing
Dictionary; a pattern of two changes stands twice.
"""

ONE_MORE = """
^anyo ^ao ^argue ^bb ^bb ^bb ^cd ^cd ^cemen ^chao ^coe ^dn ^dya ^entir ^herme ^heroi ^hour ^hya
^hye ^io ^km ^kv ^lio ^lua ^mc ^mr ^mr ^ms ^naiv ^oas ^our ^pc ^pc ^poe ^reaf ^reass ^reen ^rein
^reof ^reun ^rewo ^rw ^somer ^tia ^usai ^zair abler abrie aean aic^ alien anean angio antio aois
aon atore aue aui ausea axio beebe befo bene^ bio bl^ bling brien bryo bya byis ch' ciano ciat
cipe cipie clien cling^ coali coart coinc cone^ coord creat cremen croat croe cua cuin cya ddli
deif demen dien dio dke^ dl^ dn' doui dr^ dua duel dui ea^ eact eadj ealig ealit eallo eanal
eand eea eelec eely^ eeman^ eeva eex eignit eimp eing eism^ eitera eity eles^ elion eo ereal
erien eue eum^ evour fio fire^ flinge forei foren forest fuel gl^ gliar gling glion grui grz
guirre heles hercu hilea hnya homes^ hua huis ia iale^ ichi^ iciar iddler ideas idler idling
iell ieman^ ienn ier^ ierre^ iest^ iet iewsk ifiers iliou inkli io^ iocen ioe iol ione^ iore^
ired^ ires^ ischl iu jes^ joann joel kl^ kooi leah^ leman^ lement lenes liel linea liop liot
loui luat luen lui lyan lyer lyo maio maybe mion miot mpire^ mye myo nale^ ndren^ nevill ngler^
nnue nte' nte^ ntes^ nua nui oa' oa^ oact oah oales oas^ oau oene^ oenin oer^ oers^ oever oey
oing oniou ontia oopera opean oreal orean orien orlea ossler oua oue permea pio pm^ pm^ ppling
prz pua quire^ realt reapp rearm rearr reaut reaw reem reest reimb riers^ rio rivier rrone^ rua
ruel^ ruer ruin rya ryer s' scien sexu sh' she^ sierr sire^ sler^ sm' sm^ smer^ sms sn' ssean
sual suan suer suez sui^ suic suin t'd t'l theat theist thio thm^ thms tialit tiani tiat tke^
tl^ tn' toic treal trophe truis trz ttlin tua tuen tui tv^ tv^ tzke^ ubler ubser ucle ueless
uey^ uies uio uiri uo^ uou ureat utare vares verde^ vion viou wire^ wya x' ying^ z' zese zion
zzling
"""

ONE_FEWER = """
're^ ^awes ^espec ^eye ^homes ^hua ^leona ^mro ^mro ^reind ^reine ^reini ^rosem ^some a'a acema
aceo aired aires^ akef ale' alier^ alonia apeg arecr arriag aye^ ayes^ aying^ baseba bio^ biol
borato brilli busine califo cathol ceba ceh celand celet cesh ceste cia colone de' dgec dgeh
dio^ diol eback eboa ebook ech' ecraf ecua edown eforth eful egian ehou einga ekeep eless elier^
elike elines ely^ eman^ ement emeral emore^ empera eness enius eof eopar eorie eout eov eowne
ereig eryb eryt es' esbo eshow esman esmen estone estown esvi eswom etable etaker etime^ etown
etrack eveni eville ewalk eway ewise ewor eyard eyin fe' fegu fety fore freem geon georg geou
gepo gewoo giacom giam giann giar giu gue' gue^ gued^ gues^ hareh helia hoco homeb homela hteo
iamond iang^ ically iceb ideg idesm iell^ ieta^ ieter ietr ietz ile' ilema inelan isle^ isuali
iteh itew joce ke' kelan keley kesp lea^ lgia liam lians liar lifes liho lle' luic me's mema mep
mpov ncheo ne' neber nehar nemann niard ninet nreas nteres ntier^ ole' oleh oleman oneh onscie
ordial oresta orgia^ oseb ousew owe' oye^ oying^ pe' peop pio^ poeh prayer que^ ques^ rawer re'
reby rederi reinh rewell rginia rio^ riol rivil rled^ rles^ ryw sea^ seho semen^ severa sfacto
shea^ sia' sia^ sial sian^ sians sidest squire ssler^ strali tangli te' tea^ tia tonew uisan
valia ve' velan veteri wedn wholes wisec wled^ xiao yea^ yed^ yeo yle' ypew
"""
